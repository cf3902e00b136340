"""From a target to delivery elements: arcs and static beams."""
