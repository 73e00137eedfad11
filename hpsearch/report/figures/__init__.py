"""Plotly figures from figure data. Only the page, which embeds Plotly itself, imports it elsewhere."""
