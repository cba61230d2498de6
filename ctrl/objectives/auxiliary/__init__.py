"""Auxiliary tasks: what a policy's embeddings should tell besides the best action.

Lucy-SKG (Moschopoulos et al. 2023) trains the embeddings of its actor on two of them, together with
PPO and in one optimiser: predicting the sign of the reward (`reward_prediction`) and rebuilding
what was seen (`state_representation`). Each has its own attention and head; the actor's attention
and the critic receive no gradient from them.
"""
