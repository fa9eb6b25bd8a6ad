"""The processes that make load: submits in one, desktops in another. Times are perf_counter, one clock for all."""
