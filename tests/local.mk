# system, compat, fuzz, bench
