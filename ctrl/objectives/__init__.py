"""From rewards to a loss: advantages, token losses, regularisers, one aggregation.

In the order in which a learner uses them: ``group_advantages``, ``reinforce_returns`` and ``gae``
(rewards to advantages), ``token_losses`` (advantages to a loss per token), ``kl`` and ``entropy``
(regularisers), ``aggregation`` (a loss per token to one number), and ``batch_rules`` (which samples
take part). ``masked`` is what all of them compute means with.

Everything is a pure function of tensors ``[T, B]``, time first: T tokens (or steps), B sequences,
one sequence a column, padded at its end. ``mask`` is true on what the policy itself produced. What
stands under a false mask, NaN and infinities too, reaches neither a value nor a gradient.
"""
