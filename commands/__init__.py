"""What train.py and play.py are made of: settings from flags, runs made of them, and agents taken up again."""
