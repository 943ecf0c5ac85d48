"""Run a plan: start workers, write their answers to the journal, check the machine. Without torch."""
