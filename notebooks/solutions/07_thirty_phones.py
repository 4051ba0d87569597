"""Solutions of lesson 07, each with its why; a cell begins at ``# %%`` and its number."""

import secrets

from chatrpc import ClientClosed, lab
from chatrpc.errors import CallTimeout, InvalidRequest, RpcError, TooLarge

# %% 07.1
# call waits itself, so it can look at the clock itself. Nobody waits in submit, so the agenda
# does: at the deadline it asks whether the call is still in the table. A reply that came earlier
# has taken it out, and expire finds nothing to do.
#
# In close the order counts. First nobody gets in any more: begin notes its call, then looks at
# self.closed, so a call is either seen by the loop below or sees for itself that it is too late.
# Then whoever waits is told, and last the link goes, which may take a moment.


@lab.exercise("07.1")
class RpcClient(Table):  # noqa: F821 - the notebook's class
    def submit(self, method, /, *args, timeout=None, message_id=None, **params):
        id, future, deadline = self.begin(method, args, params, timeout, message_id)
        self.agenda.at(deadline.at, lambda: self.expire(id))
        return future

    def close(self):
        self.closed = True
        for id in self.pending.ids():
            self.end(id, ClientClosed("the client was closed while the call was under way"))
        super().close()


# %% 07.2
# The web program stands between the phone and the worker: to the phone it is a gateway. Only a
# text that is too long is the phone's own doing. TooLarge is a kind of InvalidRequest, so it is
# asked for first. 504 is not a kind of 503: who reads it knows that it may have been done.


@lab.exercise("07.2")
def status(error: RpcError) -> int:
    if isinstance(error, TooLarge):
        return 413
    if isinstance(error, CallTimeout):
        return 504
    if isinstance(error, InvalidRequest) or error.code == -32004:  # a RemoteError
        return 502
    return 503


# %% 07.3
# The id is made where the wish is, and before the first send, so that every press of the button
# carries the same. Random, for a counter begins anew on each phone, a clock ticks for two phones
# at the same time, and a digest of the text takes two people who want the same for one.


@lab.exercise("07.3", service=bar, cups=made)  # noqa: F821
class Page:
    def __init__(self, post):
        self.post = post

    def write(self, text):
        return {"text": text, "id": secrets.token_hex(16)}

    def click(self, message):
        return self.post(message)
