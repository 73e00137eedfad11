"""Plotly figures out of figure data. Only the page, which holds Plotly itself, imports it elsewhere."""
