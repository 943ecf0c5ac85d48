"""From rows to answers: the claims, the cells they are judged on, their rules, and what others published."""
