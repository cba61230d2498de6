"""From a discriminator's logit to a reward, and what each form does to the length of episodes.

``minimax`` is never negative, so that every further step pays: it favours long episodes, and an
agent may avoid the end of a task that the expert finishes. ``nonsat`` is never positive, so that
every step costs: it favours ending early, however badly. ``sum`` has both signs and favours
neither by itself. Where episodes can terminate, absorbing states take the bias out of all of them.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from reward_models.errors import UnknownNameError

FORMS = ("minimax", "sum", "nonsat")
SIGNS = {"minimax": 1, "sum": 0, "nonsat": -1}
"""Sign of every value of a form; 0 where both occur."""

_TINY = 1e-8


def check_form(form: str) -> None:
    """Refuse what is no form.

    Raises:
        UnknownNameError: with the nearest one.
    """
    if form not in FORMS:
        raise UnknownNameError("form of the reward", form, FORMS)


def reward_of(logits: Float[Tensor, "*n"], form: str) -> Float[Tensor, "*n"]:
    """Return the reward of each logit.

    ===========  =======================================  ==============
    form         reward                                   range
    ===========  =======================================  ==============
    ``minimax``  ``-log(1 - sigmoid(l) + 1e-8)``          [0, 18.42]
    ``nonsat``   ``log sigmoid(l)``                       (-inf, 0]
    ``sum``      both, ``l`` up to 1e-8 (as in AIRL)      (-inf, 18.42]
    ===========  =======================================  ==============

    Args:
        logits: of the discriminator, high for what looks like the expert.
        form: one of `FORMS`.
    """
    if form == "nonsat":
        return F.logsigmoid(logits)
    minimax = -torch.log(torch.sigmoid(-logits) + _TINY)  # 1 - sigmoid(l), without cancellation
    return minimax if form == "minimax" else minimax + F.logsigmoid(logits)


def slope_of(logits: Float[Tensor, "*n"], form: str) -> Float[Tensor, "*n"]:
    """Return the derivative of the reward with respect to the logit, in [0, 1].

    Times the norm of the logit's gradient it is the norm of the reward's, so that a k-Lipschitz
    logit gives a k-Lipschitz reward.
    """
    rest = torch.sigmoid(-logits)
    if form == "nonsat":
        return rest
    minimax = torch.sigmoid(logits) * rest / (rest + _TINY)
    return minimax if form == "minimax" else minimax + rest
