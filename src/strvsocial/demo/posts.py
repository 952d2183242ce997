"""The posts of the demo content. `media` names what `pictures`, `films` and `sounds` make: `"picture:pagoda"`, `"gif:life"`, …"""

from __future__ import annotations

from typing import NamedTuple


class DemoPost(NamedTuple):
    author: str
    title: str
    text: str
    tags: tuple[str, ...]
    media: tuple[tuple[str, str], ...] = ()
    """What to attach, each with its alternative text."""


def _words(author: str, title: str, text: str, *tags: str) -> DemoPost:
    return DemoPost(author, title, text, tags)


def _shown(author: str, title: str, text: str, tags: str, *media: tuple[str, str]) -> DemoPost:
    return DemoPost(author, title, text, tuple(tags.split()), media)


WORDS: tuple[DemoPost, ...] = (
    _words(
        "ada", "A garden is a slow conversation with someone who will never answer in the same season.", "", "garden"
    ),
    _words(
        "ada",
        "What the beds told me in October",
        "Leave the seed heads standing. The **goldfinches** know what to do with them, and so does the frost.",
        "garden",
        "autumn",
    ),
    _words(
        "ada",
        "Dahlias, in one paragraph",
        "Warm soil, full sun, no water before the first leaves. Cut the flowers and they come back twice. Lift the tubers after the first frost.",
        "garden",
        "flowers",
        "dahlia",
    ),
    _words(
        "ada",
        "Compost is patience you can hold",
        "Brown, green, brown, green, a little rain. Turn it when you are angry.",
        "garden",
        "compost",
    ),
    _words(
        "mira",
        "The starter has a name now",
        "It is called Gustav. It doubled in four hours this morning, so the bread will be ready before the shop opens.",
        "bread",
        "sourdough",
        "baking",
    ),
    _words(
        "mira",
        "On the second cup",
        "The first coffee wakes you. The second is the one you actually taste. Make it smaller and drink it slowly.",
        "coffee",
        "morning",
    ),
    _words(
        "tom",
        "Rye, honey, salt",
        "- 400 g wheat flour\n- 100 g rye flour\n- 350 g water\n- 10 g salt\n- a spoon of honey\n\nFold four times. Bake very hot.",
        "bread",
        "recipe",
        "baking",
    ),
    _words(
        "tom",
        "Things my cat has sat on today",
        "The newspaper. The clean laundry. The one document I needed. Me.",
        "cat",
        "home",
    ),
    _words(
        "tom",
        "How to tell that a cat likes you",
        "She looks at you and closes her eyes slowly. Do the same. That is the whole language.",
        "cat",
        "animals",
    ),
    _words(
        "launch",
        "Why rockets leave at dawn",
        "Not for the light, though it helps the photographs. The launch window is when the turning Earth carries the pad under the orbit you want.",
        "space",
        "rocket",
    ),
    _words(
        "launch",
        "A million galaxies behind a grain of sand",
        "Hold a grain of sand at arm's length. It hides a patch of sky with thousands of galaxies in it, each with more stars than anyone has counted.",
        "space",
        "nightsky",
        "astronomy",
    ),
    _words(
        "noor",
        "The moon is leaving us",
        "By 3.8 centimetres a year, about as fast as your fingernails grow. Nothing to worry about this evening.",
        "moon",
        "space",
    ),
    _words(
        "eileen",
        "Wind south-west, five to seven",
        "The ferry stays in. If you were coming to the island tonight, you are coming tomorrow.",
        "sea",
        "weather",
    ),
    _words(
        "harbour",
        "What the fog does to a lighthouse",
        "It makes it near. You see nothing, and then the horn is in the room with you.",
        "sea",
        "lighthouse",
    ),
    _words(
        "harbour",
        "Tide tables are love letters",
        "Somebody worked out, a year ahead, the minute at which the water would reach your step.",
        "sea",
        "tide",
    ),
    _words(
        "eileen",
        "Take the slow train",
        "The fast one shows you a wall and a tunnel. The slow one stops at every village and somebody always gets on with flowers.",
        "travel",
        "trains",
    ),
    _words(
        "eileen",
        "How to look at an old roof",
        "Start with the corners. That is where the carpenter showed off.",
        "architecture",
        "travel",
    ),
    _words(
        "eileen",
        "Packing list for two weeks with one bag",
        "Three shirts, one good pair of shoes, a scarf that is also a blanket, a notebook. Leave the rest of the bag empty: you will need it.",
        "travel",
    ),
    _words(
        "jun",
        "Setting the valves on a single",
        "Cold engine, piston at the top of the compression stroke, 0.08 mm in, 0.10 mm out. It takes twenty minutes and you can hear the difference.",
        "motorcycle",
        "workshop",
    ),
    _words(
        "eileen",
        "The best road here has no name",
        "Forty curves, two bridges, one café. Ride it early, before the tractors.",
        "motorcycle",
        "travel",
    ),
    _words(
        "noor",
        "Where to put the microphone",
        "Where your ear would be bored. Close to the wall, low in the grass, under the bridge.",
        "fieldrecording",
        "sound",
    ),
    _words(
        "noor",
        "A waltz is a walk with a hop in it",
        "I wrote one for three plucked strings this week. It keeps trying to turn a corner.",
        "music",
        "strings",
    ),
    _words(
        "felix",
        "Rules for a drawing that draws itself",
        "1. One simple rule.\n2. A grid.\n3. No taste for the first hour.",
        "generative",
        "art",
    ),
    _words(
        "launch",
        "The edge of a Julia set has no length",
        "Measure it with a shorter ruler and it is longer. Keep going and it never stops.",
        "generative",
        "mathematics",
    ),
    _words(
        "saga",
        "Look down",
        "Every street has a floor that somebody laid by hand. Gravel, brick, granite: they all have a rhythm.",
        "texture",
        "photography",
    ),
    _words(
        "priya",
        "Six kilometres before anyone is awake",
        "The hills were pink for about four minutes. Then it was an ordinary Tuesday.",
        "running",
        "morning",
    ),
    _words(
        "ada",
        "Read the last page first",
        "If it still makes you want to know how they got there, the book is good.",
        "books",
        "reading",
    ),
    _words(
        "priya", "Beckett, for runners", "Fail better is the best training plan I have ever had.", "books", "running"
    ),
)

PICTURES: tuple[DemoPost, ...] = (
    _shown(
        "eileen",
        "Low tide, first light on the pagoda",
        "Three storeys of roof and hardly a sound from the lake.",
        "travel architecture morning",
        ("picture:pagoda", "A red three-storey pagoda above a pale lake"),
    ),
    _shown(
        "eileen",
        "The corner where the carpenter showed off",
        "",
        "architecture travel",
        ("picture:pagoda_roof", "Green and gold tiles on the curved eaves of a pagoda"),
    ),
    _shown(
        "saga",
        "The lake behind the temple",
        "",
        "travel photography",
        ("picture:pagoda_lake", "A hazy lake with an island, seen past trees"),
    ),
    _shown(
        "ada",
        "First dahlia of the year",
        "Late, and worth it.",
        "garden flowers dahlia",
        ("picture:flower", "An orange dahlia against dark leaves"),
    ),
    _shown(
        "mira",
        "From the window box",
        "Ada gave me the tuber in a paper bag.",
        "flowers garden",
        ("picture:flower_close", "The folded petals of an orange dahlia, very close"),
    ),
    _shown(
        "mira",
        "The small one, in the good cup",
        "",
        "coffee morning",
        ("picture:coffee", "A cup of espresso on a red saucer on a wooden table"),
    ),
    _shown(
        "priya",
        "After the run",
        "Twelve kilometres, one coffee.",
        "coffee running",
        ("picture:coffee_close", "Espresso in a red cup, seen from close by"),
    ),
    _shown(
        "tom", "Chelsea has noticed you", "", "cat animals", ("picture:cat", "A ginger tabby cat looks past the camera")
    ),
    _shown(
        "jun",
        "The workshop has a supervisor",
        "She came in for the warm engine.",
        "cat workshop",
        ("picture:cat_eyes", "The green eyes of a tabby cat, very close"),
    ),
    _shown(
        "launch",
        "Ignition from 400 metres",
        "Waiting for the window to open.",
        "rocket space night",
        ("picture:rocket", "A white rocket on its pad at dusk between two lattice towers"),
    ),
    _shown(
        "felix",
        "Verticals",
        "The straightest thing for a hundred kilometres.",
        "rocket photography",
        ("picture:rocket_close", "A rocket upright on its pad against a dark blue sky"),
    ),
    _shown(
        "launch",
        "Commander",
        "",
        "space portrait",
        ("picture:astronaut", "An astronaut in an orange suit smiles beside a model of the shuttle"),
    ),
    _shown(
        "noor",
        "Somebody else's night sky",
        "I looked at this for an hour with the sound off.",
        "space nightsky astronomy",
        ("picture:galaxies", "Hundreds of small bright galaxies on black"),
    ),
    _shown(
        "launch",
        "Craters along the terminator",
        "",
        "moon space",
        ("picture:moon", "The grey surface of the moon with craters"),
    ),
    _shown(
        "jun",
        "Done for today",
        "Left and right. The tank is still the original red.",
        "motorcycle workshop",
        ("picture:motorcycle", "A red motorcycle in a wooden workshop"),
        ("picture:motorcycle_right", "The same motorcycle from a little further right"),
        ("picture:engine", "The engine of the motorcycle"),
    ),
    _shown(
        "saga",
        "Floors, an inventory",
        "Brick, grass, gravel, money.",
        "texture photography",
        ("picture:brick", "A brick wall, running bond"),
        ("picture:grass", "Short grass from above"),
        ("picture:gravel", "Gravel from above"),
        ("picture:coins", "Rows of old coins"),
    ),
    _shown(
        "eileen",
        "The man with the tripod",
        "He was there before us and he stayed.",
        "photography",
        ("picture:photographer", "A man in a long coat bends over a camera on a tripod"),
    ),
    _shown(
        "priya",
        "Pink for four minutes",
        "",
        "running morning hills",
        ("picture:hills", "Ranges of hills in pink morning haze"),
    ),
    _shown(
        "eileen", "From the slow train", "", "travel morning hills", ("picture:hills_far", "Far hills under a low sun")
    ),
    _shown(
        "saga",
        "The lamp was already burning",
        "",
        "lighthouse sea",
        ("picture:lighthouse", "A striped lighthouse at dusk, its beam across the water"),
    ),
    _shown(
        "noor",
        "Where the recording was made",
        "Listen for the reeds.",
        "fieldrecording nature",
        ("picture:reeds", "Bulrushes at the edge of a pond"),
    ),
    _shown(
        "felix", "c = −0.8 + 0.156i", "", "generative art mathematics", ("picture:julia", "A Julia set in red and gold")
    ),
    _shown(
        "noor",
        "Two neighbours of the same family",
        "",
        "generative art mathematics",
        ("picture:julia_fern", "A Julia set with spirals"),
        ("picture:truchet", "Truchet tiles: arcs that join into loops"),
    ),
    _shown(
        "mira",
        "Gustav's first loaf",
        "Scored too shallow. Still sang when it cooled.",
        "bread sourdough baking",
        ("picture:bread", "A round loaf dusted with flour on a wooden board"),
    ),
)

MOVING: tuple[DemoPost, ...] = (
    _shown(
        "launch",
        "Life, 60 generations",
        "Two rules and no plan.",
        "generative art",
        ("gif:life", "Cells of the Game of Life appear and vanish"),
    ),
    _shown(
        "jun",
        "Fifteen pendulums",
        "They fall out of step and find each other again.",
        "generative physics",
        ("gif:pendulums", "A row of pendulums swings in waves"),
    ),
    _shown(
        "noor",
        "Three against four, drawn",
        "What a chord looks like when you let it turn.",
        "music generative",
        ("gif:lissajous", "A glowing Lissajous curve turns"),
    ),
    _shown(
        "mira",
        "Closer. No, closer.",
        "",
        "cat animals",
        ("gif:cat_zoom", "The view moves towards the eyes of a tabby cat and back"),
    ),
    _shown(
        "mira", "Steam, in theory", "", "coffee", ("gif:coffee_zoom", "The view moves into a cup of espresso and back")
    ),
    _shown(
        "felix",
        "One turn takes 27 days",
        "This one takes three seconds.",
        "moon space",
        ("gif:moon_turns", "A grey moon turns"),
    ),
    _shown(
        "saga",
        "Round the pagoda before breakfast",
        "",
        "travel architecture",
        ("film:pagoda_walk", "A slow look from the roof of a pagoda out to the lake"),
    ),
    _shown(
        "noor",
        "Countdown, with sound",
        "Turn it up for the last three seconds.",
        "rocket space",
        ("film:launch", "The view rises along a rocket on its pad while a voice counts down"),
    ),
    _shown(
        "noor",
        "A reel for the deep field",
        "",
        "space music astronomy",
        ("film:deep_field", "The view moves into a field of galaxies"),
    ),
    _shown(
        "saga",
        "Evening tide",
        "",
        "sea weather",
        ("film:evening_tide", "Waves move under a setting sun"),
    ),
    _shown(
        "tom",
        "She said nothing",
        "A silent film.",
        "cat animals",
        ("film:cat_silent", "A slow approach to a tabby cat"),
    ),
    _shown(
        "priya",
        "Three things about dahlias",
        "Said out loud, for Mira.",
        "garden dahlia flowers",
        ("film:dahlia", "An orange dahlia fills the picture while a voice gives advice"),
    ),
    _shown(
        "ada",
        "How the bread gets made",
        "",
        "bread sourdough recipe",
        ("film:baking", "A loaf on a board while a voice explains how to bake it"),
    ),
    _shown(
        "saga",
        "Idle",
        "Thirteen beats a second, give or take.",
        "motorcycle workshop",
        ("film:workshop", "The view passes along a red motorcycle while its engine idles"),
    ),
    _shown(
        "felix",
        "Life with a drummer",
        "",
        "generative art music",
        ("film:life_grows", "Glowing cells grow and die to a beat"),
    ),
)

SOUNDS: tuple[DemoPost, ...] = (
    _shown(
        "harbour",
        "The night the lighthouse keeper came back",
        "First of four winter stories.",
        "story lighthouse sea",
        ("sound:keeper", ""),
    ),
    _shown("priya", "Weather for ships, tonight", "", "sea weather", ("sound:forecast", "")),
    _shown(
        "tom",
        "Fail better",
        "Ten seconds that I have played more often than any song.",
        "books reading",
        ("sound:beckett", ""),
    ),
    _shown("noor", "Waltz for three strings", "", "music strings", ("sound:waltz", "")),
    _shown("felix", "Reel, too fast on purpose", "", "music strings", ("sound:reel", "")),
    _shown("jun", "Sixteen steps", "Kick, snare, hat and a lot of arithmetic.", "music drums", ("sound:drums", "")),
    _shown(
        "noor", "Waves at the breakwater", "One microphone, low in the grass.", "fieldrecording sea", ("sound:sea", "")
    ),
    _shown(
        "ada", "Rain on the greenhouse", "Nothing to do but listen.", "fieldrecording rain garden", ("sound:rain", "")
    ),
    _shown("tom", "What the cat hears at two in the morning", "", "fieldrecording night", ("sound:crickets", "")),
    _shown("noor", "Cold start, warm idle", "", "motorcycle sound", ("sound:engine", "")),
)

POSTS: tuple[DemoPost, ...] = (*WORDS, *PICTURES, *MOVING, *SOUNDS)
