#!/usr/bin/env python3
"""Explicit-state check of the Switchboard protocol core: every interleaving of atomic steps, breadth first.

One Redis command or script is one step.  A request whose reply is lost goes to `late`: it may still run at any later
moment, or never.  Every reachable state is checked, then closed by one fair fault-free schedule (the user comes back,
leases and tokens of the dead end, late requests are dropped) and checked again at rest.

  explore.py                 all configurations, then all mutants
  explore.py NAME [MUTANT]   one configuration (with one or more mutants, comma separated)
The rules marked FIX are not in PROTOCOL.md as first written; the mutant named beside each takes the rule away."""
import sys
import time
from collections import deque

# name: users, nodes, messages (id, user, durable), start, budgets
#   cached: the senders begin with the route A0/s0 in their cache;  sids: sessions the clients may open in all
#   lose: replies lost (the request runs late or never);  conn: reconnects of a node's loop;  drop: links cut
CONFIGS = {
    "loop": dict(nodes="A", msgs="m n", conn=2, drop=1, sids=1, idle=1),
    "stale": dict(msgs="m", cached=1, drop=1, sids=2, lose=1),
    "moves": dict(msgs="m", cached=1, drop=2, sids=3),
    "twice": dict(msgs="m", drop=1, sids=2, lose=2),
    "crash": dict(msgs="m", cached=1, kill=1, drop=1, sids=2, lose=1),
    "zombie": dict(msgs="m", pause=1, sids=1, conn=1),
    "zombie-moves": dict(msgs="m", pause=1, sids=2),
    "rescue": dict(msgs="m", pause=1, tok=1, sids=1),
    "rescue2": dict(msgs="m", pause=1, tok=1, sids=2),
    "durable": dict(msgs="M N", lose=1),
    "durable-moves": dict(msgs="M", drop=1, sids=2, lose=1),
    "durable-crash": dict(msgs="M", kill=1, drop=1, sids=2),
    "durable-zombie": dict(msgs="M", pause=1, sids=2),
    "moves-conn": dict(msgs="m", drop=2, sids=2, conn=1),
    "users": dict(msgs="m:u m:v", cached=1, drop=1, sids=3),
}
BUDGETS = ("kill", "pause", "lose", "conn", "drop", "tok")
HOPS = 3
# mutant -> the configurations tried, in this order, until one catches it
MUTANTS = {
    "relative_trim": ["loop", "zombie"], "pop_first": ["crash"], "push_blind": ["zombie"], "fence_no_rename": ["crash"],
    "unregister_user": ["stale"], "cursor_on_write": ["durable-moves"], "lookup_two_steps": ["durable-moves"], "no_gap_fill": ["durable"],
    "no_token": ["rescue", "rescue2"], "no_token,relative_rescue_trim": ["rescue"], "bounce_keeps_route": ["stale"],
    "offline_from_cache": ["zombie", "stale"], "delivered_on_write": ["stale"], "trim_before_resend": ["crash"],
    # the protocol as first written, one rule at a time.  (offline_after_write is not here: no configuration catches it,
    # because receipts reach the sender at once and in order, so `unknown` or `delivered` was said before.)
    "ring_by_node": ["moves", "users"], "range_without_head": ["loop"], "offline_before_trim": ["crash", "stale"],
    "offline_any_hop": ["crash"], "offline_after_retry": ["twice"],
    "reread_is_first": ["moves-conn"], "trim_without_open": ["zombie"], "sadd_without_open": ["crash", "zombie", "stale"], "replay_from_cursor": ["durable-zombie"],
}
KEYS = ("eps", "nodes", "routes", "late", "mail", "log", "cursor", "send", "cl", "got", "goff", "fate", "nsid", "ntok",
        "bud", "gave", "bad")
EP = ("open", "lease", "inbox", "done", "resc", "tok", "users", "listed")
ND = ("st", "ep", "pc", "exp", "batch", "ring", "sess", "unreg", "task", "high")
# session: sid, user, link (o open, h half-open), phase (g index, r register, p replay wanted, q replay read, l live),
#          last offset written, newest offset waiting, unproved ids, replay read
# sender: pc, targets, pushed endpoints, need, neg, retried, cache, outcome, offset, prev, witnesses


class Model:
    def __init__(self, name, mutants=()):
        c = dict(nodes="AB", cached=0, sids=1)
        c.update(CONFIGS[name])
        self.c, self.mut = c, set(mutants)
        self.msgs = []
        for w in c["msgs"].split():
            mid, _, user = w.partition(":")
            self.msgs.append((mid, user or "u", mid.isupper()))
        self.users = sorted({u for _, u, _ in self.msgs})
        self.memo, self.rest = {}, {}

    def start(self):
        d = dict(routes=frozenset(), late=(), mail=(), log=(), cursor=0, got=frozenset(), goff=frozenset(),
                 fate=frozenset(), nsid=0, ntok=0, bud=tuple(self.c.get(b, 0) for b in BUDGETS), gave=False, bad="")
        d["eps"] = {n + "0": self.new_ep() for n in self.c["nodes"]}
        d["nodes"] = {n: dict(st="up", ep=n + "0", pc="P", exp=0, batch=(), ring=frozenset(), sess=(), unreg=(), task=None, high=0)
                      for n in self.c["nodes"]}
        d["cl"] = {}
        for i, u in enumerate(self.users):              # u is live on A; a second user on the other node
            n = self.c["nodes"][i % len(self.c["nodes"])]
            d["nodes"][n]["sess"] = ((i, u, "o", "l", 0, 0, (), ()),)
            d["eps"][n + "0"]["users"] = frozenset({u})
            d["routes"] |= {(u, n + "0", i)}
            d["cl"][u] = (i, n, 0)
            d["nsid"] = i + 1
        d["send"] = tuple(("s", (), frozenset(), 0, 0, False, bool(self.c["cached"]), "", 0, 0, None) for _ in self.msgs)
        self.cache = {u: tuple((e, s) for v, e, s in sorted(d["routes"]) if v == u) for u in self.users}
        return self.freeze(d)

    @staticmethod
    def new_ep():
        return dict(open=True, lease=True, inbox=(), done=0, resc=(), tok=0, users=frozenset(), listed=True)

    def freeze(self, d):
        d["eps"] = tuple((k, tuple(v[f] for f in EP)) for k, v in sorted(d["eps"].items()))
        d["nodes"] = tuple((k, tuple(v[f] for f in ND)) for k, v in sorted(d["nodes"].items()))
        d["cl"] = tuple(sorted(d["cl"].items()))
        return tuple(d[k] for k in KEYS)

    @staticmethod
    def thaw(t):
        d = dict(zip(KEYS, t))
        d["eps"] = {k: dict(zip(EP, v)) for k, v in d["eps"]}
        d["nodes"] = {k: dict(zip(ND, v)) for k, v in d["nodes"]}
        d["cl"] = dict(d["cl"])
        return d

    # ---- scripts on Redis -------------------------------------------------------------------------------------------
    def push(self, d, e, env):
        if not d["eps"][e]["open"] and "push_blind" not in self.mut:
            return False
        d["eps"][e]["inbox"] += (env,)
        return True

    def trim(self, d, e, exp, n):
        r = d["eps"][e]
        if "relative_trim" in self.mut:
            r["inbox"] = r["inbox"][n:]
            r["done"] += n
            return True
        if r["done"] != exp or not (r["open"] or "trim_without_open" in self.mut):    # FIX: checks open too
            return False
        r["inbox"] = r["inbox"][n:]
        r["done"] += n
        return True

    def rtrim(self, d, e, tok, exp, n):
        r = d["eps"][e]
        if r["tok"] != tok and "no_token" not in self.mut or r["done"] != exp and "relative_rescue_trim" not in self.mut:
            return False
        r["resc"] = r["resc"][n:]
        r["done"] += n
        return True

    def unregister(self, d, u, e, s):
        gone = {r for r in d["routes"] if r[0] == u and (r[1:] == (e, s) or "unregister_user" in self.mut)}
        live = {(x[1], N["ep"], x[0]) for N in d["nodes"].values() if N["st"] == "up" for x in N["sess"]}
        if any(r[2] != s and r in live for r in gone):
            d["bad"] = d["bad"] or "a live route was removed by another session's goodbye"
        d["routes"] -= gone

    def sadd(self, d, e, u):                            # FIX: only while open, else a late one leaves a key for ever
        if d["eps"][e]["open"] or "sadd_without_open" in self.mut:
            d["eps"][e]["users"] |= {u}

    def do(self, d, req):
        k, a = req[0], req[1:]
        if k == "reg":
            d["routes"] |= {a}
        else:
            getattr(self, k)(d, *a)

    def ack(self, d, off):
        d["cursor"] = max(d["cursor"], off)
        d["mail"] = tuple(x for x in d["mail"] if x[0] > d["cursor"])

    # ---- what reaches clients and senders ---------------------------------------------------------------------------
    def write(self, d, N, s, mid, off):
        """One frame into the socket of session s (a list); the client has it if the link is open."""
        u = s[1]
        N["ring"] |= {(mid, s[0])}
        s[6] = s[6] + (mid,) if mid not in s[6] else s[6]
        d["fate"] |= {(mid, u)}
        if off:
            s[4] = off
        if s[2] == "o":
            d["got"] |= {(mid, u)}
            if off:
                sid, n, last = d["cl"][u]
                if off <= last:
                    d["bad"] = d["bad"] or "offsets fell within one connection"
                if any(o not in d["goff"] for o in range(1, off)):
                    d["bad"] = d["bad"] or "a hole before offset %d" % off
                d["goff"] |= {off}
                d["cl"][u] = (sid, n, off)
        if off and "cursor_on_write" in self.mut:
            self.ack(d, off)
        if "delivered_on_write" in self.mut:
            self.answer(d, mid, u, "delivered")

    def answer(self, d, mid, u, word):
        i = next(i for i, m in enumerate(self.msgs) if m[:2] == (mid, u))
        x = list(d["send"][i])
        if word == "offline":
            x[4] += 1
        elif not x[7] or x[7] == "unknown":
            x[7] = word
        if word == "delivered" and (mid, u) not in d["got"]:
            d["bad"] = d["bad"] or "delivered, but the client has not got it"
        d["fate"] |= {(mid, u)}
        self.settle(d, i, x)

    def settle(self, d, i, x):
        """The sender's word, when each copy it pushed has been answered `no session`."""
        mid, u, dur = self.msgs[i]
        if x[0] == "w" and not x[7] and x[4] >= x[3]:
            sure = not x[5] or "offline_after_retry" in self.mut          # FIX: after a repeated push nobody can be sure
            x[7] = "queued" if dur else "offline" if sure else "unknown"
            if x[7] == "offline":
                d["fate"] |= {(mid, u)}
                if x[10]:
                    d["bad"] = d["bad"] or "offline, but a session was registered throughout"
        d["send"] = d["send"][:i] + (tuple(x),) + d["send"][i + 1:]

    def unwitness(self, d, sids):
        d["send"] = tuple(x[:10] + (x[10] - sids,) if x[10] else x for x in d["send"])

    # ---- the node ---------------------------------------------------------------------------------------------------
    def local(self, d, N, env):
        """Deliver to the user's sessions here; False if there is none."""
        mid, u, off, prev, hop = env
        if "ring_by_node" in self.mut and (mid, -1) in N["ring"]:
            return True
        here, out = False, []
        for s in map(list, N["sess"]):
            if s[1] == u:
                here = True
                if not off:
                    if (mid, s[0]) not in N["ring"]:            # FIX: a repeat is one for this session
                        self.write(d, N, s, mid, 0)
                elif s[3] != "l":
                    s[5] = max(s[5], off)
                elif off > s[4]:
                    if prev <= s[4] or "no_gap_fill" in self.mut:
                        self.write(d, N, s, mid, off)
                    else:
                        s[3], s[5] = "p", off
            out.append(tuple(s))
        N["sess"] = tuple(out)
        if here and "ring_by_node" in self.mut:
            N["ring"] |= {(mid, -1)}
        return here

    def resend(self, d, n, e, item, rescue):
        """One step of sending an envelope on: remove dead names and look up, or push to one target.
        Yields (label, new item state, lost?)."""
        env, st = item
        mid, u, off, prev, hop = env
        N = d["nodes"][n]
        if st == "":
            if not rescue and self.local(d, N, env):
                return "h"
            if "bounce_keeps_route" not in self.mut or rescue:
                mine = {s[0] for s in N["sess"]} if not rescue else set()
                d["routes"] = frozenset(r for r in d["routes"] if not (r[0] == u and r[1] == e and r[2] not in mine))
            to = tuple(sorted({r[1] for r in d["routes"] if r[0] == u}))
            if not to:
                d["fate"] |= {(mid, u)}
            if to and hop >= HOPS:
                d["bad"] = d["bad"] or "hop limit without so many moves"
                return "u"
            if to:
                return to
            if "ring_by_node" in self.mut and not rescue:
                N["ring"] |= {(mid, -1)}
            if off:
                return "n"
            # FIX: `offline` only for a first copy, never written here, and only once it is trimmed
            sure = (hop == 0 and not rescue or "offline_any_hop" in self.mut) and (
                "offline_after_write" in self.mut or not any(r[0] == mid for r in N["ring"]))
            if sure and "offline_before_trim" in self.mut:
                self.answer(d, mid, u, "offline")
                return "h"
            return "n" if sure else "u"
        if self.push(d, st[0], (mid, u, off, prev, hop + 1)):
            if "ring_by_node" in self.mut and not rescue:
                N["ring"] |= {(mid, -1)}
            return st[1:] or "h"
        d["routes"] = frozenset(r for r in d["routes"] if r[1] != st[0])
        return ""

    def answers(self, d, batch):
        for (mid, u, *_), st in batch:
            if st in ("n", "u"):
                self.answer(d, mid, u, "offline" if st == "n" else "unknown")

    def succ(self, t, fair=False):
        out = []
        T = dict(zip(KEYS, t))
        if T["bad"]:
            return out
        eps = {k: dict(zip(EP, v)) for k, v in T["eps"]}
        nodes = {k: dict(zip(ND, v)) for k, v in T["nodes"]}
        cl, bud = dict(T["cl"]), dict(zip(BUDGETS, T["bud"]))
        up = [n for n, N in nodes.items() if N["st"] == "up"]

        def emit(label, d):
            f = self.freeze(d)
            if f != t:
                out.append((label, f))

        def fault(b):
            """A copy of the state with one unit of budget b spent, or None."""
            if fair or not bud[b]:
                return None
            d = self.thaw(t)
            d["bud"] = tuple(v - (k == b) for k, v in bud.items())
            return d

        def lose(label, req):
            d = fault("lose")
            if d:
                d["late"] = tuple(sorted(d["late"] + (req,)))
                emit("lost reply: " + label, d)

        # late requests
        for r in () if fair else sorted(set(T["late"])):
            d = self.thaw(t)
            x = list(d["late"])
            x.remove(r)
            d["late"] = tuple(x)
            self.do(d, r)
            emit("LATE %s" % (r,), d)

        # senders
        for i, (mid, u, dur) in enumerate(self.msgs):
            x = list(T["send"][i])
            if x[0] in "sab" and x[10] is None:
                x[10] = frozenset(s for s, n, _ in cl.values() if s is not None and (u, nodes[n]["ep"], s) in T["routes"]
                                  and eps[nodes[n]["ep"]]["open"] and nodes[n]["st"] == "up")
            if x[0] == "s" and x[6] and not dur:                    # cache hit, maybe stale
                d, y = self.thaw(t), list(x)
                y[0], y[1], y[6] = "p", self.cache[u], False
                self.settle(d, i, y)
                emit("send %s:%s from the cache" % (mid, u), d)
            if x[0] in "sb" and not (fair and x[0] == "s" and x[6]):   # fresh look-up (durable: XADD too)
                d, y = self.thaw(t), list(x)
                to = tuple(sorted((e, s) for v, e, s in d["routes"] if v == u and e not in y[2]))
                if dur and "lookup_two_steps" in self.mut and x[0] == "s" and not to:
                    y[0] = "b"
                else:
                    if x[0] == "b":
                        to = ()
                    old = [o for o, m in d["mail"] if m == mid]
                    if dur and not y[8]:
                        if not old:
                            y[8], y[9] = len(d["log"]) + 1, len(d["log"])
                            d["log"] += (mid,)
                            d["mail"] += ((y[8], mid),)
                        else:
                            y[8], y[9] = old[0], old[0] - 1
                    y[1], y[0], y[6] = to, "p" if to else "w", False
                self.settle(d, i, y)
                emit("look up %s:%s" % (mid, u), d)
                if dur and x[0] == "s":                             # XADD done, reply lost: again with the same id
                    d2 = fault("lose")
                    if d2 and (mid not in T["log"]):
                        d2["log"] += (mid,)
                        d2["mail"] += ((len(d2["log"]), mid),)
                        self.settle(d2, i, x)
                        emit("lost reply: look up %s" % mid, d2)
            if x[0] == "p":
                e = x[1][0][0]
                env = (mid, u, x[8], x[9], 0)
                d, y = self.thaw(t), list(x)
                if self.push(d, e, env):
                    y[1] = tuple(z for z in x[1] if z[0] != e)
                    y[2], y[3] = x[2] | {e}, x[3] + 1
                    y[0] = "p" if y[1] else "w"
                elif "offline_from_cache" in self.mut:
                    y[1], y[0] = (), "w"
                else:                                                # removed by name, looked up afresh
                    d["routes"] = frozenset(r for r in d["routes"] if r[1] != e)
                    y[1] = tuple(sorted((f, s) for v, f, s in d["routes"] if v == u and f not in y[2]))
                    y[0] = "p" if y[1] else "w"
                self.settle(d, i, y)
                emit("push %s:%s to %s" % (mid, u, e), d)
                for quits in (False, True):                          # the reply is lost: again with the same id, or give up
                    d, y = fault("lose"), list(x)
                    if d:
                        d["late"] = tuple(sorted(d["late"] + (("push", e, env),)))
                        y[5] = True
                        if quits:
                            y[0], y[1], y[7], d["gave"] = "w", (), "unknown", True
                        self.settle(d, i, y)
                        emit("lost reply%s: push %s:%s to %s" % (", gives up" * quits, mid, u, e), d)

        # clients
        for u in cl:
            sid, n, last = cl[u]
            if sid is None:
                for m in up:
                    if fair or T["nsid"] < self.c["sids"]:
                        d = self.thaw(t)
                        s = d["nsid"]
                        d["nsid"] += 1
                        d["nodes"][m]["sess"] += ((s, u, "o", "g", 0, 0, (), ()),)
                        d["cl"][u] = (s, m, 0)
                        emit("connect %s s%d to %s" % (u, s, m), d)
            else:
                d = fault("drop") if nodes[n]["st"] == "up" else (None if nodes[n]["st"] != "pause" else self.thaw(t))
                if d:
                    d["nodes"][n]["sess"] = tuple(s[:2] + ("h",) + s[3:] if s[0] == sid else s for s in d["nodes"][n]["sess"])
                    d["cl"][u] = (None, "", 0)
                    self.unwitness(d, {sid})
                    emit("client %s leaves s%d" % (u, sid), d)

        for n, N in nodes.items():
            e = N["ep"]
            if N["st"] != "dead":
                d = fault("kill")
                if d:
                    d["nodes"][n].update(st="dead", pc="D", batch=(), ring=frozenset(), sess=(), unreg=(), task=None, high=0)
                    self.unwitness(d, {s[0] for s in N["sess"]})
                    for u, c in cl.items():
                        if c[1] == n:
                            d["cl"][u] = (None, "", 0)
                    emit("kill " + n, d)
            if N["st"] == "up":
                d = fault("pause")
                if d:
                    d["nodes"][n]["st"] = "pause"
                    self.unwitness(d, {s[0] for s in N["sess"]})
                    emit("pause " + n, d)
            if N["st"] == "pause":
                d = self.thaw(t)
                d["nodes"][n]["st"] = "up"
                emit("resume " + n, d)
            if N["st"] != "up":
                if eps[e]["lease"]:
                    d = self.thaw(t)
                    d["eps"][e]["lease"] = False
                    emit("lease ends " + e, d)
                continue
            self.node(t, T, n, N, eps, nodes, fair, emit, fault, lose)
        for e, r in eps.items():                            # tokens end: free if the holder is gone, else by budget
            if r["tok"]:
                held = any(nodes[n]["task"] and nodes[n]["task"][1] == r["tok"] for n in up)
                d = fault("tok") if held else self.thaw(t)
                if d:
                    d["eps"][e]["tok"] = 0
                    emit("token of %s ends" % e, d)
        return out

    def node(self, t, T, n, N, eps, nodes, fair, emit, fault, lose):
        e = N["ep"]
        R = eps[e]
        new = lambda: (lambda d: (d, d["nodes"][n]))(self.thaw(t))
        if not R["open"]:                                   # heartbeat: fenced -> new epoch, sockets register again
            d, M = new()
            f = n + str(int(e[1:]) + 1)
            d["eps"][f] = self.new_ep()
            M.update(ep=f, pc="D", exp=0, batch=(), high=0)
            M["sess"] = tuple((s[0], s[1], s[2], "g", d["cursor"] if "replay_from_cursor" in self.mut else s[4]) + s[5:]
                              for s in N["sess"])
            emit("heartbeat: %s is fenced, now %s" % (e, f), d)
        elif not R["lease"]:
            d, M = new()
            d["eps"][e]["lease"] = True
            emit("heartbeat " + e, d)
        # the loop: D read done, P peek, R range, H handle, T trim
        pc = N["pc"]
        if pc in "PRT" and not (fair):
            d = fault("conn")
            if d:
                if pc == "T":
                    d["late"] = tuple(sorted(d["late"] + (("trim", e, N["exp"], len(N["batch"])),)))
                d["nodes"][n].update(pc="D", batch=())
                emit("reconnect loop " + n, d)
        d, M = new()
        if pc == "D":
            M.update(pc="P", exp=R["done"], batch=())
            emit("read done " + e, d)
        elif pc == "P" and (R["inbox"] or self.c.get("idle") and not fair):
            M.update(pc="R", batch=R["inbox"][:1])
            emit("peek " + e, d)
        elif pc == "R":
            got = N["batch"] + R["inbox"][1:]
            if not N["batch"] and "range_without_head" not in self.mut:    # FIX: no head, no batch
                got = ()
            if "pop_first" in self.mut:
                d["eps"][e]["inbox"] = R["inbox"][len(got):]
            # FIX: a copy read for the second time may have been sent on the first time: never `offline`
            if "reread_is_first" not in self.mut:
                got = tuple(env[:4] + (max(env[4], 1),) if N["exp"] + i < N["high"] else env for i, env in enumerate(got))
                M["high"] = max(N["high"], N["exp"] + len(got))
            M["batch"] = tuple((env, "h" if self.local(d, M, env) else "") for env in got)
            M["pc"] = "P" if not got else "T" if all(s == "h" for _, s in M["batch"]) else "H"
            if "pop_first" in self.mut and M["pc"] == "T":
                M.update(pc="P", batch=())
            emit("range %s %s" % (e, [g[0] for g in got]), d)
        elif pc == "T":
            if self.trim(d, e, N["exp"], len(N["batch"])):
                M["exp"] += len(N["batch"])
                M.update(pc="P", batch=())
                self.answers(d, N["batch"])
            else:
                M.update(pc="D", batch=())
            emit("trim %s %d+%d" % (e, N["exp"], len(N["batch"])), d)
        elif pc == "H":
            self.handle(t, n, N["batch"], e, False, emit, fault)
        # sessions
        for j, s in enumerate(N["sess"]):
            sid, u, link, ph, last, want, unp, snap = s

            def put(d, *new_s):
                M = d["nodes"][n]
                M["sess"] = M["sess"][:j] + new_s + M["sess"][j + 1:]

            if link == "h":                                 # noticed: closed, what is unproved is unknown
                d, M = new()
                put(d)
                M["unreg"] += ((u, e, sid),)
                for mid in unp:
                    self.answer(d, mid, u, "unknown")
                emit("close s%d" % sid, d)
            elif unp:
                d, M = new()
                put(d, s[:6] + ((), snap))
                for mid in unp:
                    self.answer(d, mid, u, "delivered")
                self.ack(d, last)
                emit("pong s%d" % sid, d)
            if ph == "g":
                d, M = new()
                self.sadd(d, e, u)
                put(d, s[:3] + ("r",) + s[4:])
                emit("SADD users %s %s" % (e, u), d)
                lose("SADD users %s" % e, ("sadd", e, u))
            elif ph == "r":
                d, M = new()
                d["routes"] |= {(u, e, sid)}
                put(d, s[:3] + (("p" if self.durables() else "l"), max(last, d["cursor"])) + s[5:])
                emit("register %s/s%d" % (e, sid), d)
                lose("register %s/s%d" % (e, sid), ("reg", u, e, sid))
            elif ph == "p":
                d, M = new()
                put(d, s[:3] + ("q",) + s[4:7] + (tuple(x for x in d["mail"] if x[0] > last),))
                emit("read mailbox for s%d" % sid, d)
            elif ph == "q":
                d, M = new()
                y = list(s)
                for off, mid in snap:
                    if off > y[4]:
                        self.write(d, M, y, mid, off)
                y[3], y[7] = ("l" if y[5] <= y[4] else "p"), ()
                put(d, tuple(y))
                emit("replay to s%d" % sid, d)
            elif T["mail"] and T["mail"][-1][0] > last and (T["gave"] or not fair):
                d, M = new()                                # the sweep compares offsets (at rest: only if a push was lost)
                put(d, s[:3] + ("p",) + s[4:])
                emit("sweep s%d" % sid, d)
        if N["unreg"]:
            d, M = new()
            self.unregister(d, *N["unreg"][0])
            M["unreg"] = N["unreg"][1:]
            emit("unregister %s/s%d" % N["unreg"][0][1:], d)
            d = fault("lose")
            if d:
                d["late"] = tuple(sorted(d["late"] + (("unregister",) + N["unreg"][0],)))
                d["nodes"][n]["unreg"] = N["unreg"][1:]
                emit("lost reply: unregister s%d" % N["unreg"][0][2], d)
        # rescue: fence, or take over a fenced one whose token has ended
        if not N["task"]:
            for f, r in eps.items():
                if f != e and r["listed"] and not r["tok"] and not (r["open"] and r["lease"]):
                    d, M = new()
                    q = d["eps"][f]
                    d["ntok"] += 1
                    q["tok"] = d["ntok"]
                    if r["open"]:
                        q["open"] = False
                        if "fence_no_rename" not in self.mut:
                            q["resc"], q["inbox"] = q["inbox"], ()
                        self.unwitness(d, {x[2] for x in d["routes"] if x[1] == f})
                    M["task"] = (f, d["ntok"], "D", 0, ())
                    emit("%s %s by %s" % ("fence" if r["open"] else "take over", f, n), d)
            return
        f, tok, pc, exp, batch = N["task"]
        r = eps[f]
        d, M = new()
        if pc == "D":
            M["task"] = (f, tok, "R", r["done"], ())
            emit("rescue %s by %s: read done" % (f, n), d)
        elif pc == "R":
            M["task"] = (f, tok, "H" if r["resc"] else "U", exp, tuple((env, "") for env in r["resc"]))
            emit("rescue %s by %s: read" % (f, n), d)
        elif pc == "H":
            self.handle(t, n, batch, f, True, emit, fault)
        elif pc == "T":
            if self.rtrim(d, f, tok, exp, len(batch)):
                M["task"] = (f, tok, "R", exp + len(batch), ())
                self.answers(d, batch)
            else:
                M["task"] = (f, tok, "D", 0, ()) if r["tok"] == tok else None
            emit("rescue %s by %s: trim" % (f, n), d)
        elif pc == "U":
            d["routes"] = frozenset(x for x in d["routes"] if not (x[1] == f and x[0] in r["users"]))
            M["task"] = (f, tok, "F", 0, ())
            emit("rescue %s by %s: routes" % (f, n), d)
        elif pc == "F":
            if r["tok"] == tok:
                d["eps"][f].update(users=frozenset(), done=0, tok=0, listed=False)
            M["task"] = None
            emit("rescue %s by %s: end" % (f, n), d)

    def durables(self):
        return any(m[2] for m in self.msgs)

    def handle(self, t, n, batch, e, rescue, emit, fault):
        """The next step for the first item of the batch that is not settled."""
        def store(d, b):
            M = d["nodes"][n]
            if rescue:
                f, tok, _, exp, _ = M["task"]
                M["task"] = (f, tok, "T" if all(s in ("h", "n", "u") for _, s in b) else "H", exp, b)
            else:
                M["batch"] = b
                M["pc"] = "T" if all(s in ("h", "n", "u") for _, s in b) else "H"
                if "trim_before_resend" in self.mut and M["pc"] == "H" and any(isinstance(s, tuple) for _, s in b):
                    self.trim(d, e, M["exp"], len(b))
                if "pop_first" in self.mut and M["pc"] == "T":
                    self.answers(d, b)
                    M.update(pc="P", batch=())
        i = next(i for i, (_, s) in enumerate(batch) if s not in ("h", "n", "u"))
        d = self.thaw(t)
        st = self.resend(d, n, e, batch[i], rescue)
        store(d, batch[:i] + ((batch[i][0], st),) + batch[i + 1:])
        what = "look up" if batch[i][1] == "" else "push to %s" % batch[i][1][0]
        emit("%s %s sends on %s: %s" % ("rescuer" if rescue else "node", n, batch[i][0][0], what), d)
        if batch[i][1] != "":
            d = fault("lose")
            if d:
                env = batch[i][0]
                d["late"] = tuple(sorted(d["late"] + (("push", batch[i][1][0], env[:4] + (env[4] + 1,)),)))
                # FIX: from now on this copy is not the only one, so never `offline` (mutant offline_any_hop)
                store(d, batch[:i] + ((env[:4] + (max(env[4], 1),), batch[i][1]),) + batch[i + 1:])
                emit("lost reply: %s pushes on %s" % (n, env[0]), d)

    # ---- checks -----------------------------------------------------------------------------------------------------
    def always(self, t):
        T = dict(zip(KEYS, t))
        if T["bad"]:
            return T["bad"]
        kept = {m for _, m in T["mail"]}
        for (mid, u, dur), x in zip(self.msgs, T["send"]):
            if dur and mid in T["log"] and (mid, u) not in T["got"] and mid not in kept:
                return "durable %s is neither with the client nor in the mailbox" % mid
            if x[7] == "offline" and (mid, u) in T["got"]:
                return "%s: offline, but the client has it" % mid
        return ""

    ORDER = ("resume", "lease", "token", "heartbeat", "close", "unreg", "connect", "SADD", "register", "fence", "take",
             "rescue", "read", "replay", "range", "peek", "node", "trim", "send", "look", "push", "sweep", "pong")

    def finish(self, t):
        path = []
        while t not in self.rest:
            path.append(t)
            nxt = [x for x in self.succ(t, fair=True) if not x[0].startswith("client")]
            if not nxt or len(path) > 300:
                self.rest[t] = t if not nxt else None
                break
            t = min(nxt, key=lambda x: (next((i for i, p in enumerate(self.ORDER) if x[0].startswith(p)), 99), x[0]))[1]
        end = self.rest[t]
        for p in path:
            self.rest[p] = end
        return end

    def at_rest(self, t):
        if t is None:
            return "never comes to rest"
        bad = self.always(t)
        if bad:
            return bad + " (at rest)"
        T = dict(zip(KEYS, t))
        for e, v in T["eps"]:
            r = dict(zip(EP, v))
            if r["inbox"] or r["resc"] or (not r["open"] and r["listed"]):
                return "stuck: %s inbox %s rescued %s" % (e, r["inbox"], r["resc"])
            if not r["listed"] and (r["users"] or r["done"] or r["tok"]):
                return "left behind for ever: keys of %s" % e
        for u, (sid, n, _) in T["cl"]:
            ep = dict(zip(ND, dict(T["nodes"])[n]))["ep"] if sid is not None else ""
            if sid is not None and (u, ep, sid) not in T["routes"]:
                return "connected but not in the registry: %s s%d" % (u, sid)
        for (mid, u, dur), x in zip(self.msgs, T["send"]):
            if dur and mid in T["log"] and (mid, u) not in T["got"] and T["cl"]:
                return "durable %s never reaches the connected client" % mid
            if not dur and x[3] and (mid, u) not in T["fate"]:
                return "%s lost: neither written nor answered" % mid
        return ""

    def run(self, limit=4_000_000, seconds=120):
        t0, s = time.time(), self.start()
        seen, todo, checked = {s: None}, deque([s]), {}
        while todo:
            s = todo.popleft()
            bad = self.always(s)
            if not bad:
                f = self.finish(s)
                if f not in checked:
                    checked[f] = self.at_rest(f)
                bad = checked[f]
            if bad:
                trace = []
                while seen[s]:
                    trace.append(seen[s][0])
                    s = seen[s][1]
                return bad, trace[::-1], len(seen), time.time() - t0
            for label, x in self.succ(s):
                if x not in seen:
                    seen[x] = (label, s)
                    todo.append(x)
            if len(seen) > limit or time.time() - t0 > seconds:
                return "LIMIT", [], len(seen), time.time() - t0
        return "", [], len(seen), time.time() - t0


def show(name, mut=()):
    bad, trace, n, s = Model(name, mut).run()
    print("%-15s %-30s %8d states %6.1f s  %s" % (name, ",".join(mut) or "-", n, s, bad or "OK"), flush=True)
    return bad, trace


def main(a):
    if a:
        bad, trace = show(a[0], tuple(a[1].split(",")) if len(a) > 1 else ())
        print("".join("  %2d %s\n" % (i + 1, x) for i, x in enumerate(trace)), end="")
        return 1 if bad else 0
    fail = [c for c in CONFIGS if show(c)[0]]
    for m, cs in MUTANTS.items():
        if not any(show(c, tuple(m.split(",")))[0] not in ("", "LIMIT") for c in cs):
            fail.append(m)
            print("NOT CAUGHT:", m)
    print("all as expected" if not fail else "unexpected: %s" % ", ".join(fail))
    return 1 if fail else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
