"""Transformer policies under the same reward mixes as SB3's.

In the order in which a run uses them: ``config``, ``algorithms`` (what ``grpo`` and its kin stand
for), ``models`` (tokenizer and weights), ``policy`` (one pass of the transformer), ``formats``
(texts to tokens), ``decoding`` (sampling with a cache), ``episodes`` (many text environments at
once), ``sequences`` and ``record`` (what is left of them), ``scoring`` (the mix), ``advantages``,
``update``, ``warm_up`` (supervised), ``training`` (the loop), ``evaluation``.
"""
