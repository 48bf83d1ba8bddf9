"""Publishing: weights files and their cards.

The weights card is the JSON inside a weights file, from which the daemon builds the network and
sets its alarm; the model card is Markdown for people, with the front matter of model hubs, made of
the weights card alone. `weights_card` exports a run, `rewriting` replaces the cards of weights that
exist already.
"""
