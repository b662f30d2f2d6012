"""The functions of ``import dosecalc as dc``: each takes values or paths and returns values."""
