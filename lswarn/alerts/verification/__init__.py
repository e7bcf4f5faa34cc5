"""What warnings were worth, once it is known what slid: counts and their scores, the duration matrix, a page."""
