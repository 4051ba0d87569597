"""The plumbing of app.py: one client for all threads, bounds, problem details, headers, serving.

``client``    one client for all threads, the places of those who wait, who is there
``own``       a student's class in the client's place
``inbox``     what is accepted as a message
``problems``  what is answered when something went wrong
``guard``     who may ask, and how fast; the headers of every answer
``serving``   waitress, the room's address and its QR code

Nothing here knows the chat's page or its routes. The installed ``chatrpc`` never imports it; it
needs the extra ``app``.
"""

from .client import SharedClient, settings
from .guard import protect
from .inbox import MAX_TEXT, Message, read_message
from .own import client_class
from .serving import greet, qr_code, room_address, serve

__all__ = [
    "MAX_TEXT",
    "Message",
    "SharedClient",
    "client_class",
    "greet",
    "protect",
    "qr_code",
    "read_message",
    "room_address",
    "serve",
    "settings",
]
