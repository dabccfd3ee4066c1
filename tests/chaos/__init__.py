"""Commands that are killed, run out of disk, or meet each other, and are called again: what is lost then?"""
