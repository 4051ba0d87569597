"""The checks of the lessons' exercises: public and complete."""
