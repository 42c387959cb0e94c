"""What a request may cost and did cost: budgets, accounts and prices."""
