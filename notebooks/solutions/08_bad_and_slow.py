"""Solutions of lesson 08, each with its why; a cell begins at ``# %%`` and its number."""

from chatrpc import Busy, TooLarge, lab, topology

# %% 08.1
# A quorum queue counts how often a message came back, a classic one does not. Ten, because each
# return counts, also that of a neighbour that was only in the hands of a worker that died. With
# reject-publish a full queue refuses the newest; without it, the oldest would be thrown away,
# and its asker would never hear of it. A headers exchange, since the reason of a death stands in
# a header: two bindings for two reasons, and what expired finds none. Both name the queue it died
# in, so that other services' dead letters go to their own.


@lab.exercise("08.1")
def declarations(service, limit):
    requests, dead = topology.request_queue(service), topology.dead_queue(service)
    died_here = {"x-match": "all-with-x", "x-first-death-queue": requests}
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": 10,
        "x-max-length": limit,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": topology.DEAD,
    }
    rejected = died_here | {"x-first-death-reason": "rejected"}
    too_often = died_here | {"x-first-death-reason": "delivery_limit"}
    return [
        topology.Exchange(topology.REQUESTS, "direct"),
        topology.Exchange(topology.DEAD, "headers"),
        topology.Queue(dead, {"x-queue-type": "quorum"}),
        topology.Binding(topology.DEAD, dead, arguments=rejected),
        topology.Binding(topology.DEAD, dead, arguments=too_often),
        topology.Queue(requests, arguments),
        topology.Binding(topology.REQUESTS, requests, key=service),
    ]


# %% 08.2
# So many can be served while the last one's patience lasts: hands * patience / seconds. A fifth
# is kept free, since no clock is exact. Of the rest, two handfuls are with the worker already:
# being served, and prefetched. A nack alone tells nothing: only the depth of the queue says that
# it is full. And what is too large is refused before it is sent, where it costs nothing.


@lab.exercise("08.2")
class Valve:
    def limit(self, patience, seconds, hands):
        return max(1, int(0.8 * hands * patience / seconds) - 2 * hands)

    def refused(self, waiting, limit):
        return Busy("the queue is full") if waiting >= limit else None

    def sending(self, size):
        most = 1024 * 1024
        return TooLarge(f"{size} bytes, and at most {most} go") if size > most else None


# %% 08.3
# Direct and server-named queues cannot be guessed. A named one must carry the name of the user
# whom the broker has verified as the sender, whole: up to the dot that ends it, and with a dot
# inside it written as reply_queue writes it. Without a user nobody has been verified.


@lab.exercise("08.3")
def may_reply(reply_to, user):
    if reply_to.startswith(("amq.gen-", "amq.rabbitmq.reply-to.")):
        return True
    return bool(user) and reply_to.startswith(topology.reply_queue(user, ""))
