"""What `ctrl bench envs` measures, one file per simulator."""
