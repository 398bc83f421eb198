"""The statement page: a phone's owner sees in a browser what she sees by text, and does what she does there.

It works without any script, speaks the languages of the texts, and calls the functions that keywords and menus call.
Nothing is paid here: a consent comes from the phone itself.
"""
