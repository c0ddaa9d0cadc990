/** Between what a person types or reads and the JSON value that travels. */

const SHOWN_CHARACTERS = 2_000;

/**
 * @param {string} typed
 * @returns {{data: unknown, isJson: boolean}} JSON if it parses, else the text itself
 */
export function readData(typed) {
  try {
    return { data: JSON.parse(typed), isJson: true };
  } catch {
    return { data: typed, isJson: false };
  }
}

/**
 * @param {unknown} data a JSON value
 * @returns {string} a string as it is, anything else as JSON; shortened where nobody would read on
 */
export function showData(data) {
  const text = typeof data === "string" ? data : JSON.stringify(data);
  if (text.length <= SHOWN_CHARACTERS) return text;
  const rest = (text.length - SHOWN_CHARACTERS).toLocaleString("en");
  return `${text.slice(0, SHOWN_CHARACTERS)} … and ${rest} more characters`;
}

/**
 * The rules of a user id, told before a node has to refuse it.
 *
 * @param {string} user
 * @returns {string} what is wrong with it, in plain words; "" when nothing is
 */
export function userProblem(user) {
  if (user === "") return "Please enter a user id.";
  if (/\s/u.test(user)) return "A user id has no spaces.";
  if (/[{}]/u.test(user)) return "A user id has no { or }.";
  if (/[\p{C}\p{Z}]/u.test(user)) return "A user id has only printable characters.";
  const length = [...user].length;
  if (length > 128) return `A user id has at most 128 characters; this one has ${length}.`;
  return "";
}
