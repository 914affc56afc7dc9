"""From what a caller wrote to the plain words that a model reads in it.

`folding.Folder` undoes what hides words: letters in disguise, ciphers, codes, games with words, and
misspelt ones. A text is replaced only by what `words.Reader` finds to read well.
"""
