"""From a provider's file to the rain of seven days: fetched, proved, archived, summed, and held against thresholds."""
