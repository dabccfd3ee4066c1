"""Pictures and videos: reading what people bring, writing what is made."""
