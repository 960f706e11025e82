"""What a car on this street would measure: lidar, visibility, tracks."""
