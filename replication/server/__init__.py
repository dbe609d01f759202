"""The server engine: namespaces, integration, judging, views, feeds. Sans-IO and synchronous."""
