# What ptc-enroll says.
