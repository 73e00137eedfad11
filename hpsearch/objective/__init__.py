"""Training functions of users: their trials, the processes and limits of these, and monitors of training loops."""
