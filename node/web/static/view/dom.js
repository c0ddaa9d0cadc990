/**
 * Small tools over the DOM. Text from users and nodes enters the page only as text nodes and
 * attribute values, never as markup.
 */

/**
 * @param {string} id
 * @returns {HTMLElement} it must be there: the page is ours
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no #${id}`);
  return found;
}

/**
 * @param {string} tag
 * @param {Record<string, unknown>} properties set on the element, `class` as its class
 * @param {...(Node | string)} children
 * @returns {HTMLElement}
 */
export function make(tag, properties = {}, ...children) {
  const { class: className = "", ...rest } = properties;
  const element = Object.assign(document.createElement(tag), rest);
  if (className) element.className = String(className);
  element.append(...children);
  return element;
}

/**
 * Set a text only when it differs: a live region speaks again when it is set again, and a
 * selection inside is lost.
 *
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Make the children of `list` mirror `items`. Elements are kept by key, so that focus and hover
 * stay where they are while numbers change under them.
 *
 * @template Item
 * @param {Element} list
 * @param {Item[]} items
 * @param {(item: Item) => string} keyOf unique among the items
 * @param {(item: Item) => HTMLElement} create
 * @param {(element: HTMLElement, item: Item) => void} update
 */
export function mirror(list, items, keyOf, create, update) {
  const children = /** @type {HTMLElement[]} */ ([...list.children]);
  const old = new Map(children.map((child) => [child.dataset.key, child]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    const element = old.get(key) ?? create(item);
    old.delete(key);
    element.dataset.key = key;
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

/**
 * Put an entry on top of a list and drop the oldest ones over its limit.
 *
 * @param {Element} list
 * @param {HTMLElement} entry
 * @param {number} limit
 */
export function putOnTop(list, entry, limit) {
  list.prepend(entry);
  while (list.children.length > limit) list.lastElementChild?.remove();
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** @param {Date} moment */
export const timeOfDay = (moment) => CLOCK.format(moment);

/** @param {Date} moment @returns {HTMLElement} a `<time>` that shows the time of day */
export const clock = (moment) =>
  make("time", { dateTime: moment.toISOString() }, timeOfDay(moment));

/**
 * @param {number} count
 * @param {string} one what a single one is called; "s" is added for more
 */
export function counted(count, one) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : `${one}s`}`;
}
