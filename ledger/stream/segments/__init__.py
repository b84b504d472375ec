"""The stream's back end of one machine: records in segment files, durable before they count.

`format` and `scan` are pure; `files` and `lock` touch the disk; `high_water` is how readers learn
of what is durable; `writer`, `recovery` and `reader` put them together. docs/stream.md has the
format for those who read the files with something else.
"""
