"""Prequential evaluation: how well does a method rank what a shopper buys next, told only what came before?"""
