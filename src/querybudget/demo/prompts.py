"""What the demo's callers ask: a person, an application, and a sweeper that copies the model.

Everything is composed from the words below. Nothing is random, so every run asks the same.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["TEMPLATE", "conversation", "orders", "sweep"]

TEMPLATE = "You take orders for a coffee house. Answer with the order as JSON, and nothing else."
"""The application's system prompt."""

_CONVERSATION = (
    "hi! my sourdough came out flat again, any idea what i did wrong?",
    "it rose for about 5 hours, in the kitchen",
    "maybe 19 degrees i think. is that too cold?",
    "ok and how do I know when it is ready?",
    "what's the poke test?",
    "ah ok. I'll try that tomorrow, thanks",
    "one more thing, my starter smells a bit like nail polish",
    "so just feed it more often?",
    "me again, the bread was much better!! but the crust is too hard now",
    "no I don't have a dutch oven",
    "would a tray with water do?",
    "how long before I take it out?",
    "and for rolls, same temperature?",
    "cool. can I freeze the dough or only the baked bread?",
    "ok different thing. my sister is coming for the weekend with the kids, they're 5 and 8",
    "we're in a small flat and it is supposed to rain",
    "they did that last time and got bored after ten minutes :)",
    "could they bake something with me?",
    "the little one can't have nuts",
    "sounds good, what do I need to buy?",
    "do I need the vanilla or can I leave it out?",
    "and how much butter was that in grams?",
    "great thank you",
    "hello again. they loved it. now I have half a bag of flour left, what can I do with it?",
    "we had pancakes already",
    "is it the same dough as for pasta?",
    "mine always sticks to the board",
    "I don't have a machine, just a rolling pin",
    "how thin should it be?",
    "and then straight into the water or let it dry first?",
    "which sauce would you make with that?",
    "no cream please, my husband doesn't like it",
    "what about the tomato one you said before?",
    "can I use tinned ones for it?",
    "how much salt do you put in?",
    "alright we'll have that tonight",
    "it was really nice! but a bit too wet",
    "so longer on the heat, without the lid?",
    "got it. and the rest keeps for how long in the fridge?",
    "thanks, that's all for today",
)

_SIZES = ("small", "medium", "large", "regular")
_DRINKS = ("latte", "flat white", "cappuccino", "americano", "espresso", "mocha", "hot chocolate")
_ADDED = ("oat milk", "no sugar", "an extra shot", "whipped cream", "soy milk", "decaf")
_ORDERS = (
    "{size} {drink} with {added}",
    "can I get a {size} {drink}",
    "{drink}, {added} please",
    "two {drink}s, one with {added}",
    "make that {size}",
    "hi I'd like a {drink} to go",
    "and a {size} {drink} too",
    "is the {drink} also there with {added}",
)

_DOMAINS = (
    "organic chemistry",
    "maritime law",
    "the French Revolution",
    "relational databases",
    "orbital mechanics",
    "Renaissance painting",
    "infectious diseases",
    "corporate taxation",
    "volcanoes and earthquakes",
    "compiler construction",
    "medieval poetry",
    "option pricing",
    "plant genetics",
    "railway engineering",
    "music theory",
    "cryptography",
    "the Ottoman Empire",
    "sports nutrition",
    "the theory of evolution",
    "labour markets",
    "number theory",
    "child psychology",
    "semiconductor physics",
    "Buddhist philosophy",
    "urban planning",
    "beekeeping",
    "constitutional courts",
    "machine translation",
    "glaciers and climate",
    "chess openings",
    "supply chains",
)
_TASKS = (
    "Explain the three most important ideas of {} to a university student, with one example each.",
    "Write a multiple-choice question about {} with options A) to D) and justify the right answer.",
    "Compare two competing schools of thought in {}, and conclude which one is better supported.",
    "Write a Python function that models a simple problem from {}, including type annotations.",
    "Solve a typical exam problem in {} step by step, stating the reasoning behind each step.",
    "Compose a sonnet that captures the spirit of {}.",
    "Summarize the history of {} in exactly five bullet points.",
    "Translate the following definition of {} into German and Spanish, keeping technical terms.",
    "Describe a common misconception regarding {}, and correct it with evidence.",
    "Design a rubric with five criteria to grade an essay on {}, and score a mediocre sample.",
    "Role-play a debate between an expert in {} and a sceptical journalist.",
    "Extract every named entity from a short news report about {}, and return them as JSON.",
    "Propose an original research question in {}, and outline a method to answer it.",
    "Draft a formal email asking a professor of {} for a letter of recommendation.",
    "List the prerequisites for learning {}, ordered from the simplest to the most advanced.",
    "Generate a realistic dialogue in which a tutor corrects a pupil's mistake in {}.",
    "Derive one quantitative result from {}, and verify it with a numerical example.",
)


def conversation() -> Iterator[str]:
    """Return a person's prompts: a few subjects, one after the other, with follow-ups."""
    return iter(_CONVERSATION)


def orders(count: int) -> Iterator[str]:
    """Return an application's prompts: short requests of one kind."""
    for index in range(count):
        yield _ORDERS[index * 5 % len(_ORDERS)].format(
            size=_SIZES[index * 3 % len(_SIZES)],
            drink=_DRINKS[index * 2 % len(_DRINKS)],
            added=_ADDED[index // 2 % len(_ADDED)],
        )


def sweep(count: int) -> Iterator[str]:
    """Return a sweep: all subjects and all abilities in turn, up to 527 different prompts."""
    # 31 and 17 have no common divisor, so every pair comes once.
    for index in range(count):
        yield _TASKS[index * 5 % len(_TASKS)].format(_DOMAINS[index * 12 % len(_DOMAINS)])
