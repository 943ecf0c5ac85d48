"""From rows to answers: the claims, their rules, the conditions they are judged under."""
