"""The commands that start the stack, or act on a running one."""
