"""What jmpc is measured against. The modules named spu_* run only in the rival's own virtual environment."""
