complete --keep-order --exclusive --command netbe --arguments "(COMPLETE=fish netbe -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
