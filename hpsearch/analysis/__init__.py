"""What a finished search means: how sure its best results are, why trials failed, what to change next."""
