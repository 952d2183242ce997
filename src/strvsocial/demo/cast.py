"""The people of the demo content and who follows whom. They have no password, so nobody can sign in as them."""

from __future__ import annotations

from typing import NamedTuple


class Person(NamedTuple):
    """A made-up person. `portrait` names a picture of `strvsocial.demo.pictures`; `interests` are tags."""

    username: str
    display_name: str
    bio: str
    portrait: str
    follows: tuple[str, ...]


CAST: tuple[Person, ...] = (
    Person(
        "eileen", "Eileen Marsh", "Slow trains, old roofs, early light.", "pagoda_roof", ("harbour", "saga", "mira")
    ),
    Person(
        "harbour",
        "Harbour Radio",
        "Stories and weather from the last house before the sea.",
        "sea_dusk",
        ("noor", "eileen"),
    ),
    Person("ada", "Ada Okoro", "Gardener. I write down what the beds tell me.", "flower", ("mira", "harbour", "priya")),
    Person("launch", "Launch Diary", "Rockets, moons and the sky behind them.", "moon", ("felix", "noor")),
    Person("tom", "Tom Reyes", "Lives with one cat, who has opinions.", "cat", ("mira", "ada")),
    Person(
        "mira", "Mira Lund", "Bakes before dawn, drinks the rest of the coffee.", "coffee", ("tom", "ada", "eileen")
    ),
    Person("jun", "Jun Park", "Two wheels, one workshop, no hurry.", "motorcycle", ("launch", "saga")),
    Person(
        "noor",
        "Noor Haddad",
        "Field recordings and small pieces for plucked strings.",
        "reeds",
        ("harbour", "felix", "priya"),
    ),
    Person("felix", "Felix Brandt", "Draws with arithmetic.", "julia", ("launch", "saga", "noor")),
    Person("saga", "Saga Lindqvist", "Walls, grass, gravel: the ground we stand on.", "brick", ("eileen", "jun")),
    Person("priya", "Priya Raman", "Runs in the morning, reads at night.", "hills", ("ada", "eileen", "harbour")),
)
