# Ce que dit ptc-enroll.
