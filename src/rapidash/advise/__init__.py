"""Advice for a user's own data: what the clouds say, a race of variants, and which of them to train."""

from rapidash.advise._advice import Advice, Row
from rapidash.advise._advise import ADVICE, SETTINGS, advise
from rapidash.advise._candidates import amount_of_symmetry, candidates
from rapidash.advise._diagnosis import diagnose
from rapidash.advise._finding import Finding
from rapidash.advise._gain import Estimate, gain
from rapidash.advise._halving import Round, rounds
from rapidash.advise._outlook import Curve, Range, expected_errors, probability_of_best
from rapidash.advise._page import PAGE, page, terminal_advice, write_page
from rapidash.advise._race import BudgetError, Raced
from rapidash.advise._race_state import seconds_used
from rapidash.advise._rule import RULE, Rule
from rapidash.advise._target import Target, find_target
from rapidash.advise._try_out import trial_text, try_out
from rapidash.advise._words import Said

__all__ = [
    "ADVICE",
    "PAGE",
    "RULE",
    "SETTINGS",
    "Advice",
    "BudgetError",
    "Curve",
    "Estimate",
    "Finding",
    "Raced",
    "Range",
    "Round",
    "Row",
    "Rule",
    "Said",
    "Target",
    "advise",
    "amount_of_symmetry",
    "candidates",
    "diagnose",
    "expected_errors",
    "find_target",
    "gain",
    "page",
    "probability_of_best",
    "rounds",
    "seconds_used",
    "terminal_advice",
    "trial_text",
    "try_out",
    "write_page",
]
