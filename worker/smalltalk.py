"""A small conversation, in English and Spanish: a sentence in, a sentence out, nothing kept."""

from __future__ import annotations

import re
import unicodedata
import zlib
from dataclasses import dataclass

EN, ES = "en", "es"


@dataclass(frozen=True)
class Topic:
    """What people say (patterns over plain lower-case words) and what is answered, by language."""

    en: str
    es: str
    answers_en: tuple[str, ...]
    answers_es: tuple[str, ...]


# The first topic that matches answers: the particular before the general.
TOPICS = (
    Topic(
        r"jokes?|make me laugh|something funny",
        r"chistes?|bromas?|hazme reir|algo gracioso",
        (
            "Why was the queue so calm? It takes everything one message at a time.",
            "A message walks into a bar. The bartender says: sorry, no consumer here. "
            "It waits. It is durable.",
            "I know a joke about UDP, but you might not get it. So I queued this one.",
            "Why do rabbits make good brokers? They are quick, and they multiply messages "
            "only when nobody acknowledges them.",
            "I would tell you the one about exactly-once delivery, "
            "but you may have heard it twice.",
        ),
        (
            "¿Por qué la cola nunca se estresa? Porque va mensaje a mensaje.",
            "Un mensaje entra en un bar. «Lo siento, aquí no hay consumidores». "
            "Y espera: es persistente.",
            "Sé un chiste de UDP, pero quizá no te llegue. Por eso puse este en la cola.",
            "¿Por qué los conejos son buenos brókeres? Son rápidos, y solo multiplican mensajes "
            "cuando nadie los confirma.",
            "Te contaría el de la entrega exactamente una vez, "
            "pero a lo mejor ya lo oíste dos veces.",
        ),
    ),
    Topic(
        r"how are (you|u)|how do you do|how(s| is) it going|hows life|whats up|sup",
        r"como (estas|esta|andas|te va|va todo|va)|que (tal|onda|hubo|hay)",
        ("Very well, thank you: my queue is short today. And you?",),
        ("¡Muy bien, gracias! Hoy tengo la cola corta. ¿Y tú?",),
    ),
    Topic(
        r"your name|who are you|what are you|are you (a |an )?(robot|bot|human|ai)",
        r"tu nombre|como te llamas|quien eres|que eres|eres (un |una )?(robot|bot|humano|ia)",
        (
            "I am the worker: a small Python process. You write to a queue, I read from it, "
            "and my answer comes back to a queue of yours. We have never met.",
        ),
        (
            "Soy el worker: un pequeño proceso de Python. Tú escribes en una cola, yo la leo "
            "y mi respuesta vuelve a una cola tuya. Nunca nos hemos visto.",
        ),
    ),
    Topic(
        r"help|what (can|do) (you|i) (do|say|know)",
        r"ayuda|ayudame|que (puedes|sabes|puedo|se puede) (hacer|decir)",
        ("Gladly. Type /help to see the commands that I know.",),
        ("Con gusto. Escribe /ayuda y verás los comandos que conozco.",),
    ),
    Topic(
        r"what time|the time|what hour",
        r"que horas?|la hora",
        ("Type /time and I will look at my clock. It may differ from yours; clocks do.",),
        ("Escribe /hora y miro mi reloj. Puede que no coincida con el tuyo: así son los relojes.",),
    ),
    Topic(
        r"coffees?|espresso",
        r"cafes?|cafecito",
        ("Type /coffee and I will pour you one. Each cup goes into the ledger.",),
        ("Escribe /cafe y te sirvo uno. Cada taza queda anotada.",),
    ),
    Topic(
        r"queues?",
        r"colas?",
        (
            "A queue keeps messages until somebody has read and acknowledged them. "
            "Stop me, write to me, and start me again: your message will have waited.",
        ),
        (
            "Una cola guarda los mensajes hasta que alguien los lee y los confirma. "
            "Párame, escríbeme y vuelve a arrancarme: tu mensaje habrá esperado.",
        ),
    ),
    Topic(
        r"rabbit(mq)?|rabbits?|broker|exchange",
        r"conejos?|broker|rabbit(mq)?",
        (
            "RabbitMQ is the post office between us: you leave a message there, "
            "it puts it into my queue, and I fetch it when I am free.",
        ),
        (
            "RabbitMQ es la oficina de correos entre nosotros: dejas un mensaje allí, "
            "lo pone en mi cola y yo lo recojo cuando estoy libre.",
        ),
    ),
    Topic(
        r"rpc|remote procedure calls?",
        r"rpc|llamadas? a procedimientos? remotos?",
        (
            "RPC looks like calling a function, but it is a letter and its answer. "
            "Letters get lost, come late, or come twice; the rest is how one lives with that.",
        ),
        (
            "RPC parece llamar a una función, pero es una carta y su respuesta. "
            "Las cartas se pierden, tardan o llegan dos veces; lo demás es vivir con ello.",
        ),
    ),
    Topic(
        r"thanks?|thank you|thx|ty|cheers|much appreciated",
        r"gracias|te lo agradezco|muy amable",
        ("You are welcome!",),
        ("¡De nada!",),
    ),
    Topic(
        r"bye|goodbye|see (you|ya)|good night|farewell|take care",
        r"adios|hasta (luego|pronto|manana|la vista)|chao|chau|nos vemos|cuidate",
        ("Goodbye! I will be here, at the end of the queue.",),
        ("¡Hasta luego! Aquí estaré, al final de la cola.",),
    ),
    Topic(
        r"sorry|my bad|apolog\w+",
        r"perdon|perdona|disculpa|lo siento",
        ("No harm done. I keep no state, so I have forgotten it already.",),
        ("No pasa nada. No guardo estado: ya lo olvidé.",),
    ),
    Topic(
        r"i love you|i like you|you are (great|cool|awesome|nice|funny)|well done|good job",
        r"te (quiero|amo)|me gustas|eres (genial|lo maximo|simpatico|gracioso)|bien hecho",
        ("That is kind of you. Acknowledged, and not redelivered.",),
        ("¡Qué amable! Confirmado, y sin reenvío.",),
    ),
    Topic(
        r"ha(ha)+|lol|lmao|rofl",
        r"ja(ja)+|je(je)+|ji(ji)+",
        ("I am glad that one was delivered.",),
        ("Me alegra que ese haya llegado.",),
    ),
    Topic(
        r"hi|hiya|hello|hey|howdy|greetings|good (morning|afternoon|evening|day)",
        r"hola|holi|buenas|buen(os)? dias?|saludos|aloha",
        ("Hello! Nice to hear from you. Type /help to see what I can do.",),
        ("¡Hola! Qué gusto leerte. Escribe /ayuda para ver lo que sé hacer.",),
    ),
    Topic(
        r"^(yes|yeah|yep|ok|okay|no|nope|fine|(very )?(good|well)|great|cool|nice)( thanks?)?$",
        r"^(si|vale|claro|(muy )?bien|genial|bueno|perfecto)$",
        ("Good to know. Ask me for a joke, or try /slow 3 and write on meanwhile.",),
        ("Bueno es saberlo. Pídeme un chiste, o prueba /lento 3 y sigue escribiendo.",),
    ),
)

NAME = re.compile(
    r"\b(?:(?P<en>my name is|call me)|(?P<es>me llamo|mi nombre es|llámame))\s+"
    r"(?P<name>[^\W\d_][\w'-]{0,29})",
    re.IGNORECASE,
)

UNKNOWN = {
    EN: "I did not understand that, but it reached me safely, and here is the proof: “{text}”. "
    "Type /help to see what I can do.",
    ES: "No lo entendí, pero me llegó entero, y aquí está la prueba: «{text}». "
    "Escribe /ayuda para ver lo que sé hacer.",
}

SILENCE = "I am listening. Type something, or /help. · Te escucho. Escribe algo, o /ayuda."


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


SPANISH = words(
    "a al algo aqui como con cual cuando de del donde el ella en eres es esta este esto hay hoy la"
    " las lo los me mi mucho muy nada nos o para pero por porque puedes que quien quiero se si"
    " sobre son soy su te tengo tu un una usted y ya yo"
)
ENGLISH = words(
    "a about am an and are at be but can do does for from have how i in is it like me my not of on"
    " or please so some something tell that the there this to want was we what when where who why"
    " with would you your"
)


def reply(text: str, *, seed: str = "") -> str:
    """Answer a sentence in its own language; the same text and seed get the same answer."""
    plain = simplify(text)
    if not plain and not text.strip():
        return SILENCE
    if found := NAME.search(text):
        name = found["name"]
        if found["en"]:
            return f"Nice to meet you, {name}! I will have forgotten it by your next message."
        return f"¡Mucho gusto, {name}! En tu próximo mensaje ya lo habré olvidado."
    for topic in TOPICS:
        if language := spoken(topic, plain, text):
            choices = topic.answers_es if language == ES else topic.answers_en
            return choices[zlib.crc32(seed.encode(errors="replace")) % len(choices)]
    return UNKNOWN[language_of(text)].format(text=shorten(text))


def spoken(topic: Topic, plain: str, text: str) -> str | None:
    """The language in which the words are about the topic, or None."""
    en, es = (re.search(rf"\b(?:{pattern})\b", plain) for pattern in (topic.en, topic.es))
    if en and es:
        return language_of(text)
    return EN if en else ES if es else None


def language_of(text: str) -> str:
    """The likelier language of a text: Spanish by its letters or common words, else English."""
    if re.search("[ñ¿¡áéíóú]", text.casefold()):
        return ES
    said = simplify(text).split()
    spanish, english = (sum(word in known for word in said) for known in (SPANISH, ENGLISH))
    return ES if spanish > english else EN


def simplify(text: str) -> str:
    """Lower-case words without accents, apostrophes and punctuation."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c) and c not in "'\u2019")
    return " ".join(re.findall(r"\w+", letters))


def shorten(text: str, limit: int = 80) -> str:
    """The text on one line without control characters, cut at ``limit`` characters."""
    line = "".join(c for c in " ".join(text.split()) if unicodedata.category(c) != "Cc")
    return line if len(line) <= limit else line[: limit - 1] + "…"
