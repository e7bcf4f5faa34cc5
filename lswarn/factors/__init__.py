"""The ten conditioning factors at the region's resolution, built block by block."""
