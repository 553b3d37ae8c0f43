"""Many submissions: on the cores of one machine or on a cluster, resumed where they stopped."""
