"""A folder for each lesson: its judges, its questions and its experiment. No lesson imports
another; what two share is in `shared`.
"""
