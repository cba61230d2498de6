"""What a genome is: a flat vector of numbers, and how it acts."""

from ctrl.search.genomes.base import Actor, GenomeKind, make_genome_kind
from ctrl.search.genomes.controller import Controller
from ctrl.search.genomes.policy import PolicyGenome

__all__ = ["Actor", "Controller", "GenomeKind", "PolicyGenome", "make_genome_kind"]
