"""One module per system touched: its reads and its effects as retriable Prefect tasks."""
