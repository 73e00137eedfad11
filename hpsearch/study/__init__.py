"""The subject of a search: the specification of a study, its TOML file and its search space."""
