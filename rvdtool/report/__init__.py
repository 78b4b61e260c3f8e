"""Pages to look at in a browser: figures over time, tables and a viewer of the frames.

They need `pip install 'rvdtool[report]'`.
"""
